SELECT canonical_segment_id, to_json(collect_list(struct(kind, name, value, seq))) AS entries
FROM (
  SELECT CAST(canonical_segment_id AS string) AS canonical_segment_id, 'identifier' AS kind, CAST(type AS string) AS name, CAST(value AS string) AS value, CAST(seq AS string) AS seq
  FROM `main`.`profiles`.`user_identifiers`
  WHERE type IN ('user_id')
  UNION ALL
  SELECT CAST(canonical_segment_id AS string) AS canonical_segment_id, 'trait' AS kind, CAST(name AS string) AS name, CAST(value AS string) AS value, CAST(seq AS string) AS seq
  FROM `main`.`profiles`.`user_traits`
) AS r
WHERE canonical_segment_id IS NOT NULL
GROUP BY canonical_segment_id
ORDER BY canonical_segment_id
