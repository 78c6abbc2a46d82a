package mapping

import (
	"encoding/json"
	"maps"
	"slices"

	"segsync/importer/metadata"
)

// metadataReader reads the metadata of one customer.
type metadataReader struct {
	*traitReader
	mapping  MetadataMapping
	metadata map[string]any
	sources  map[string]FieldSource // by metadata key, where they are collected
}

// readMetadata returns nil where there is none, and the profile's own object where nothing
// else becomes metadata.
func (r *traitReader) readMetadata(m *Mapping) map[string]any {
	path, object := r.metadataObject(m.Metadata.Object)
	if !r.explain && len(m.Metadata.Traits) == 0 && !m.Metadata.All {
		return object
	}
	mr := metadataReader{traitReader: r, mapping: m.Metadata, metadata: make(map[string]any), sources: make(map[string]FieldSource)}
	if m.Metadata.All {
		mr.takeOthers(keys(m.paths()))
	}
	for key, v := range object {
		mr.set(key, append(slices.Clone(path), key), v, v)
	}
	for _, t := range m.Metadata.Traits {
		path, v := r.find(t.Traits)
		if result := r.transform(NotTransformed, metadataPrefix+t.Key, t.Transform, path, v); result != nil {
			mr.take(t.Key, path, v, result)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(mr.sources)) {
		r.sources = append(r.sources, mr.sources[key])
	}
	if len(mr.metadata) == 0 {
		return nil
	}
	return mr.metadata
}

// metadataObject returns the object that is metadata as it is, nil for an empty one.
func (r *traitReader) metadataObject(paths []Path) (Path, map[string]any) {
	path, v := r.find(paths)
	if path == nil {
		return nil, nil
	}
	object, ok := v.(map[string]any)
	if !ok {
		r.warn(NotObject, "metadata", path, v, "is not an object")
	}
	if len(object) == 0 {
		return nil, nil
	}
	return path, object
}

// takeOthers takes the traits that are not read for something else.
func (r *metadataReader) takeOthers(read []string) {
	not := make(map[string]bool, len(read)+len(r.mapping.Exclude))
	for _, key := range read {
		not[key] = true
	}
	for _, key := range r.mapping.Exclude {
		not[key] = true
	}
	for _, key := range slices.Sorted(maps.Keys(r.traits)) {
		if v := r.traits[key]; key != "" && !not[key] && isPresent(v) {
			r.take(key, Path{key}, v, v)
		}
	}
}

// take puts the trait into metadata, if that can take it. v is what a transform made of its value.
func (r *metadataReader) take(key string, path Path, value, v any) {
	if reason := notMetadata(v, r.mapping.Objects[key]); reason != "" {
		r.warn(NotMetadata, metadataPrefix+key, path, v, "is "+reason+", which metadata does not take")
		r.warnings[len(r.warnings)-1].LeftOut = metadata.LeftOut{Key: key, Reason: reason}
		return
	}
	r.set(key, path, value, v)
}

func (r *metadataReader) set(key string, path Path, value, v any) {
	r.metadata[key] = v
	if r.explain {
		r.sources[key] = newFieldSource(metadataPrefix+key, path, value, v)
	}
}

// notMetadata says what the value is if it cannot be metadata, else "". Voucherify takes
// objects, and arrays of them, only for keys that its schema defines so.
func notMetadata(v any, objects bool) string {
	switch v := v.(type) {
	case string, bool, json.Number:
		return ""
	case map[string]any:
		if objects {
			return ""
		}
		return "an object"
	case []any:
		for _, element := range v {
			switch element.(type) {
			case string, bool, json.Number:
			case map[string]any:
				if !objects {
					return "an array of objects"
				}
			default:
				return "an array of other than text, numbers and booleans"
			}
		}
		return ""
	}
	return "neither text nor a number nor a boolean"
}
