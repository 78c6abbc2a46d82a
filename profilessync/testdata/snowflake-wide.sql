SELECT canonical_segment_id, to_json(array_agg(object_construct_keep_null('kind', kind, 'name', name, 'value', value, 'seq', seq))) AS entries
FROM (
  SELECT CAST(canonical_segment_id AS varchar) AS canonical_segment_id, 'identifier' AS kind, CAST(type AS varchar) AS name, CAST(value AS varchar) AS value, CAST(seq AS varchar) AS seq
  FROM SEGMENT."profiles-1".user_identifiers
  WHERE type IN ('email', 'user_id')
  UNION ALL
  SELECT CAST(canonical_segment_id AS varchar) AS canonical_segment_id, 'trait' AS kind, CAST(name AS varchar) AS name, CAST(value AS varchar) AS value, CAST(seq AS varchar) AS seq
  FROM SEGMENT."profiles-1".user_traits
  WHERE name IN ('address', 'address_city', 'address_postalCode', 'address_postal_code', 'email', 'first_name', 'it''s "a" \\ trait', 'metadata') OR LEFT(name, 9) = 'metadata_'
) AS r
WHERE canonical_segment_id IS NOT NULL
  AND canonical_segment_id > 'use_1'''
  AND canonical_segment_id IN (
    SELECT CAST(canonical_segment_id AS varchar) FROM SEGMENT."profiles-1".user_identifiers WHERE uuid_ts >= CAST('2026-05-01 00:00:00.000000+00:00' AS timestamp_tz) OR uuid_ts IS NULL
    UNION ALL
    SELECT CAST(canonical_segment_id AS varchar) FROM SEGMENT."profiles-1".user_traits WHERE uuid_ts >= CAST('2026-05-01 00:00:00.000000+00:00' AS timestamp_tz) OR uuid_ts IS NULL
  )
GROUP BY canonical_segment_id
ORDER BY canonical_segment_id
