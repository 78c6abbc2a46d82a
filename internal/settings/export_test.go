package settings

// Values returns what the file sets; nil for no file.
func (f *File) Values() map[string]string {
	if f == nil {
		return nil
	}
	values := make(map[string]string)
	for name, v := range f.values {
		values[name] = v.text
	}
	return values
}
