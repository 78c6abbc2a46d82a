//go:build unix

package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"strconv"
	"time"

	made "segsync/internal/sandbox"
	"segsync/profilessync"
)

// people are made-up profiles of 12 traits, in an order that is not that of their ids. Every
// identifiedth of them has a user_id.
func people(n, identified int) iter.Seq[made.Person] {
	return func(yield func(made.Person) bool) {
		began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		for i := range n {
			sum := sha256.Sum256(fmt.Append(nil, i))
			id := base64.RawURLEncoding.EncodeToString(sum[:20])
			email := fmt.Sprintf("customer.%07d@example.com", i)
			p := made.Person{
				SegmentID:   "use_" + id,
				ExternalIDs: []made.ExternalID{{Type: "email", ID: email, CreatedAt: began.Add(time.Duration(i) * time.Second)}},
				Traits: map[string]any{
					"name": fmt.Sprint("Made-up Customer ", i), "email": email, "phone": fmt.Sprintf("+1555%07d", i),
					"description": fmt.Sprint("Customer since ", 2000+i%25), "birthdate": fmt.Sprintf("19%02d-%02d-%02d", 40+i%60, 1+i%12, 1+i%28),
					"address":  map[string]any{"street": fmt.Sprint(i%1000, " Main Street"), "city": "Hillview", "postalCode": fmt.Sprintf("%05d", i%100000), "country": "US"},
					"metadata": map[string]any{"lang": "en", "test": true}, "plan": "pro", "vip": i%7 == 0, "lifetime_value": i % 10000,
					"favorite_brands": []string{"Acme", "Globex"}, "createdAt": "2022-11-02T08:00:01.101Z",
				},
			}
			if i%identified == 0 {
				p.ExternalIDs = append(p.ExternalIDs, made.ExternalID{Type: "user_id", ID: fmt.Sprintf("user-%07d", i), CreatedAt: began})
			}
			if !yield(p) {
				return
			}
		}
	}
}

// makePeople writes the people to a schema of the Postgres and to a file, in a process of its
// own: see costOf.
func makePeople(ctx context.Context, n, identified int, postgres, schema, file string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	output, err := exec.CommandContext(ctx, self, "-people", strconv.Itoa(n), strconv.Itoa(identified), postgres, schema, file).CombinedOutput()
	if err != nil {
		return fmt.Errorf("making people: %w: %s", err, output)
	}
	return nil
}

// fillPeople does what makePeople asks for.
func fillPeople(ctx context.Context, args []string) error {
	if len(args) != 5 {
		return errors.New("-people takes a number, each how many are identified, a URL, a schema and a file")
	}
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	identified, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	conn, err := profilessync.Connect(ctx, args[2])
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := made.FillPostgres(ctx, conn, args[3], people(n, identified)); err != nil {
		return err
	}
	return writeNDJSON(args[4], people(n, identified))
}

// writeNDJSON writes the profiles to a file, one a line.
func writeNDJSON(path string, profiles iter.Seq[made.Person]) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return made.WriteNDJSON(file, profiles)
}
