package sandboxtest_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"segsync/internal/sandbox"
	"segsync/internal/sandboxtest"
	"segsync/segmentprofiles"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The rules hold whether the world is reached by loopback or without a network.
func TestRules(t *testing.T) {
	for name, reach := range map[string]func(*testing.T, *sandboxtest.World) (http.RoundTripper, string){
		"no network": func(_ *testing.T, w *sandboxtest.World) (http.RoundTripper, string) {
			return w, sandboxtest.NoNetwork
		},
		"loopback": func(t *testing.T, w *sandboxtest.World) (http.RoundTripper, string) {
			transport := &http.Transport{}
			t.Cleanup(transport.CloseIdleConnections)
			return transport, w.Listen(t).URL
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := sandboxtest.New(sandbox.Options{Profiles: 5, Plain: true})
			transport, base := reach(t, w)
			segment, vch := sandboxtest.Clients(t, transport, base)
			all := w.Count(`.`)
			w.On(`@2/traits`, sandboxtest.Between(2, 3, sandboxtest.Status(http.StatusForbidden)))
			w.On(`^POST .*"source_id":"bad"`, sandboxtest.Status(http.StatusBadRequest))
			var got []bool
			for range 4 {
				_, _, err := segment.Traits(t.Context(), segmentprofiles.SegmentID(w.Profiles()[2].SegmentID), 200, nil)
				got = append(got, err == nil)
			}
			for _, customer := range []string{`{"source_id":"good"}`, `{"source_id":"bad"}`} {
				_, err := vch.UpsertCustomers(t.Context(), [][]byte{[]byte(customer)})
				got = append(got, err == nil)
			}
			if want := []bool{true, false, false, true, true, false}; !slices.Equal(got, want) {
				t.Errorf("answered %v, want %v", got, want)
			}
			if *all != 6 || !slices.Equal(w.Batches(t), []int{1, 1}) {
				t.Errorf("%d requests, batches of %v", *all, w.Batches(t))
			}

			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			reached := w.Hold(`/profiles\?`, 1)
			listed := make(chan error, 1)
			go func() {
				_, err := segment.Profiles(ctx, "0", 5)
				listed <- err
			}()
			<-reached
			select {
			case err := <-listed:
				t.Errorf("a request that is held was answered: %v", err)
			default:
			}
			w.Mend()
			if err := <-listed; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestEnviron(t *testing.T) {
	w := sandboxtest.New(sandbox.Options{Profiles: 1})
	env := w.Environ("http://127.0.0.1:1")
	for _, name := range []string{"SEGMENT_API_URL=http://127.0.0.1:1", "VOUCHERIFY_API_URL=http://127.0.0.1:1", "SEGMENT_SPACE_ID=spa_sandbox"} {
		if !slices.Contains(env, name) {
			t.Errorf("there is no %s in\n%s", name, strings.Join(env, "\n"))
		}
	}
}
