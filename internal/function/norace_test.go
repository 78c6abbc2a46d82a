//go:build !race

package function_test

const underRace = false
