//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"

	"golang.org/x/sync/errgroup"
)

// loopWorkers is what gave the most profiles per second.
const loopWorkers = 8

// bareLoop makes the requests to Segment that an import makes, with net/http and nothing
// else: no limit, no retry, no mapping, no Voucherify. It is the limit that an import can
// approach.
func bareLoop(api string) error {
	base := api + "/v1/spaces/" + os.Getenv("SEGMENT_SPACE_ID") + "/collections/users/profiles"
	token := os.Getenv("SEGMENT_ACCESS_TOKEN")
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = loopWorkers + 1
	get := func(url string) ([]byte, error) {
		req, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			return nil, err
		}
		req.SetBasicAuth(token, "")
		resp, err := transport.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("%s: %s", url, resp.Status)
		}
		return io.ReadAll(resp.Body)
	}
	var g errgroup.Group
	ids := make(chan string, 100)
	for range loopWorkers {
		g.Go(func() error {
			for id := range ids {
				for _, path := range []string{
					"/external_ids?include=user_id&limit=25", "/traits?include=name,email,phone,address,birthdate&limit=200",
				} {
					if _, err := get(base + "/segment_id:" + id + path); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	g.Go(func() error {
		defer close(ids)
		for next := "0"; next != ""; {
			body, err := get(base + "?limit=100&next=" + next)
			if err != nil {
				return err
			}
			var page struct {
				Data []struct {
					SegmentID string `json:"segment_id"`
				}
				Cursor struct{ Next string }
			}
			if err := json.Unmarshal(body, &page); err != nil {
				return err
			}
			for _, profile := range page.Data {
				ids <- profile.SegmentID
			}
			next = page.Cursor.Next
		}
		return nil
	})
	return g.Wait()
}
