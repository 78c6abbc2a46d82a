SELECT canonical_segment_id, kind, name, value, seq
FROM (
  SELECT CAST(canonical_segment_id AS text) AS canonical_segment_id, 'identifier' AS kind, CAST(type AS text) AS name, CAST(value AS text) AS value, CAST(seq AS text) AS seq
  FROM "profiles ""1"""."user_identifiers"
  WHERE type IN ('email', 'user_id')
  UNION ALL
  SELECT CAST(canonical_segment_id AS text) AS canonical_segment_id, 'trait' AS kind, CAST(name AS text) AS name, CAST(value AS text) AS value, CAST(seq AS text) AS seq
  FROM "profiles ""1"""."user_traits"
  WHERE name IN ('address', 'address_city', 'address_postalCode', 'address_postal_code', 'email', 'first_name', E'it''s "a" \\ trait', 'metadata') OR LEFT(name, 9) = 'metadata_'
) AS r
WHERE canonical_segment_id IS NOT NULL
  AND canonical_segment_id COLLATE "C" > 'use_1'''
  AND canonical_segment_id IN (
    SELECT CAST(canonical_segment_id AS text) FROM "profiles ""1"""."user_identifiers" WHERE uuid_ts >= CAST('2026-05-01 00:00:00.000000+00:00' AS timestamptz) OR uuid_ts IS NULL
    UNION ALL
    SELECT CAST(canonical_segment_id AS text) FROM "profiles ""1"""."user_traits" WHERE uuid_ts >= CAST('2026-05-01 00:00:00.000000+00:00' AS timestamptz) OR uuid_ts IS NULL
  )
ORDER BY canonical_segment_id COLLATE "C"
