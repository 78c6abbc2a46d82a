SELECT canonical_segment_id, kind, name, value, seq
FROM (
  SELECT CAST(canonical_segment_id AS text) AS canonical_segment_id, 'trait' AS kind, CAST(name AS text) AS name, CAST(value AS text) AS value, CAST(seq AS text) AS seq
  FROM "profiles ""1"""."user_traits"
  WHERE name IN ('email')
) AS r
WHERE canonical_segment_id IS NOT NULL
ORDER BY canonical_segment_id COLLATE "C"
