SELECT canonical_segment_id, to_json(collect_list(struct(kind, name, value, seq))) AS entries
FROM (
  SELECT CAST(canonical_segment_id AS string) AS canonical_segment_id, 'identifier' AS kind, CAST(type AS string) AS name, CAST(value AS string) AS value, CAST(seq AS string) AS seq
  FROM `main`.`profiles`.`user_identifiers`
  WHERE type IN ('email', 'user_id')
  UNION ALL
  SELECT CAST(canonical_segment_id AS string) AS canonical_segment_id, 'trait' AS kind, CAST(name AS string) AS name, CAST(value AS string) AS value, CAST(seq AS string) AS seq
  FROM `main`.`profiles`.`user_traits`
  WHERE name IN ('address', 'address_city', 'address_postalCode', 'address_postal_code', 'email', 'first_name', 'it\'s "a" \\ trait', 'metadata') OR LEFT(name, 9) = 'metadata_'
) AS r
WHERE canonical_segment_id IS NOT NULL
  AND canonical_segment_id > 'use_1\''
  AND canonical_segment_id IN (
    SELECT CAST(canonical_segment_id AS string) FROM `main`.`profiles`.`user_identifiers` WHERE uuid_ts >= CAST('2026-05-01 00:00:00.000000+00:00' AS timestamp) OR uuid_ts IS NULL
    UNION ALL
    SELECT CAST(canonical_segment_id AS string) FROM `main`.`profiles`.`user_traits` WHERE uuid_ts >= CAST('2026-05-01 00:00:00.000000+00:00' AS timestamp) OR uuid_ts IS NULL
  )
GROUP BY canonical_segment_id
ORDER BY canonical_segment_id
