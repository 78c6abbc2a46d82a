package sandbox

// Misbehaviour is what goes wrong on purpose. The zero value is nothing.
// Its functions may be called from several goroutines at once.
type Misbehaviour struct {
	// Poison chooses records by source_id: a bulk request that holds one is
	// refused as a whole, and the single upsert of it as well.
	Poison func(sourceID string) bool
	// PoisonStatus is the status of that refusal, such as 422. 0: 400.
	PoisonStatus int
}
