SELECT canonical_segment_id, to_json_string(array_agg(struct(kind, name, value, seq))) AS entries
FROM (
  SELECT CAST(canonical_segment_id AS string) AS canonical_segment_id, 'trait' AS kind, CAST(name AS string) AS name, CAST(value AS string) AS value, CAST(seq AS string) AS seq
  FROM `my-project`.`profiles`.`user_traits`
  WHERE name IN ('email')
) AS r
WHERE canonical_segment_id IS NOT NULL
GROUP BY canonical_segment_id
ORDER BY canonical_segment_id
