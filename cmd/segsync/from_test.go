package main

import "testing"

func TestSourceOfAWarehouseHasNoPassword(t *testing.T) {
	t.Setenv("PGHOST", "")
	t.Setenv("PGDATABASE", "")
	for url, want := range map[string]string{
		"postgres://u:secret@db.example.com:5432/analytics?sslmode=require": "warehouse db.example.com:5432/analytics profiles",
		"redshift://u@db.example.com/analytics":                             "warehouse db.example.com/analytics profiles",
		"postgres:///analytics?host=db1.example.com":                        "warehouse db1.example.com/analytics profiles",
		"postgres://db.example.com?dbname=analytics":                        "warehouse db.example.com/analytics profiles",
		"postgres://u:12/34@db.example.com/analytics":                       "warehouse  profiles", // nothing can be connected to
	} {
		o := &settingsFlags{from: fromWarehouse}
		if got := o.sourceOf(&settings{warehouse: warehouseSettings{url: url, schema: "profiles"}}); got != want {
			t.Errorf("%s: %q, want %q", url, got, want)
		}
	}
}
