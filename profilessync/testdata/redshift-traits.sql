SELECT canonical_segment_id, kind, name, value, seq
FROM (
  SELECT CAST(canonical_segment_id AS varchar(65535)) AS canonical_segment_id, 'trait' AS kind, CAST(name AS varchar(65535)) AS name, CAST(value AS varchar(65535)) AS value, CAST(seq AS varchar(65535)) AS seq
  FROM "profiles ""1"""."user_traits"
  WHERE name IN ('email')
) AS r
WHERE canonical_segment_id IS NOT NULL
ORDER BY canonical_segment_id
