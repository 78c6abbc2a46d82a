//go:build race

package function_test

// underRace says that a sample is enough: nothing runs at the same time, and goja takes ten times as long.
const underRace = true
