package journal

// noFollow is for systems that can open a file without following a link.
const noFollow = 0

// giveToOwner has nothing to do: a new file has the owner that its directory gives it.
func giveToOwner(string) error { return nil }
