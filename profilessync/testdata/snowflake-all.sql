SELECT canonical_segment_id, to_json(array_agg(object_construct_keep_null('kind', kind, 'name', name, 'value', value, 'seq', seq))) AS entries
FROM (
  SELECT CAST(canonical_segment_id AS varchar) AS canonical_segment_id, 'identifier' AS kind, CAST(type AS varchar) AS name, CAST(value AS varchar) AS value, CAST(seq AS varchar) AS seq
  FROM SEGMENT."profiles-1".user_identifiers
  WHERE type IN ('user_id')
  UNION ALL
  SELECT CAST(canonical_segment_id AS varchar) AS canonical_segment_id, 'trait' AS kind, CAST(name AS varchar) AS name, CAST(value AS varchar) AS value, CAST(seq AS varchar) AS seq
  FROM SEGMENT."profiles-1".user_traits
) AS r
WHERE canonical_segment_id IS NOT NULL
GROUP BY canonical_segment_id
ORDER BY canonical_segment_id
