SELECT canonical_segment_id, kind, name, value, seq
FROM (
  SELECT CAST(canonical_segment_id AS string) AS canonical_segment_id, 'trait' AS kind, CAST(name AS string) AS name, CAST(value AS string) AS value, CAST(seq AS string) AS seq
  FROM `my-project`.`profiles`.`user_traits`
  WHERE name IN ('email')
) AS r
WHERE canonical_segment_id IS NOT NULL
ORDER BY canonical_segment_id
