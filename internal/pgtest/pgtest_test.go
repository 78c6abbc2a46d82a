package pgtest_test

import (
	"os"
	"testing"

	"segsync/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func TestServerKeepsItsDataWhenItStartsAgain(t *testing.T) {
	t.Setenv("SEGSYNC_TEST_POSTGRES", "")
	server := pgtest.New(t)
	pgtest.Exec(t, server.URL, "CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)")
	server.Stop()
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	if rows := pgtest.Exec(t, server.URL, "SELECT n FROM kept"); len(rows) != 1 || rows[0][0] != "7" {
		t.Errorf("rows are %v", rows)
	}
}

func TestTestsShareOneServer(t *testing.T) {
	if a, b := pgtest.URL(t), pgtest.URL(t); a != b {
		t.Errorf("%s and %s", a, b)
	}
}
