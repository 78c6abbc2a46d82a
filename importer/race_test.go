//go:build race

package importer_test

// The race detector takes ten times as long: the tests that go through many cases go
// through fewer.
const underRace = true
