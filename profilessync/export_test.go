package profilessync

import "time"

// SetIdleTimeout sets how long a statement stays open while nobody takes its profiles.
func (w *Warehouse) SetIdleTimeout(d time.Duration) { w.idleTimeout = d }

// Literal quotes a text for a dialect.
func Literal(name, text string) string {
	return (&statement{dialect: dialectOf(name)}).literal(text)
}

// ReadAhead is how many profiles are read before they are taken.
const ReadAhead = readAhead

// NeedsTLS reports whether a connection to the URL must be encrypted.
func NeedsTLS(url string) (bool, error) {
	config, err := ParseURL(url)
	if err != nil {
		return false, err
	}
	return !allowsPlaintext(config), nil
}
