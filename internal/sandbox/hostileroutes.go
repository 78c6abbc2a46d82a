package sandbox

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"time"
)

// hostileRouteAnswers are hostile in what one route means.
func hostileRouteAnswers() []Hostile {
	all := []Hostile{
		{"one action for all batches", routeBulk, always(202, `{"async_action_id":"aa_0000000000000000000000"}`)},
		{"action id with escapes", routeBulk, always(202, `{"async_action_id":"aa_\u001b[2J\r\n../../x?token=\u202e"}`)},
		{"action ids are a number", routeBulk, always(202, `{"async_action_id":7}`)},
		{"actions without end", routeActions, endlessActions()},
		{"ids without end", routeExternalIDs, endless(`{"data":[{"source_id":"x","collection":"users","id":"id-%[1]d","type":"user_id","created_at":"2023-01-02T03:04:05Z"}],"cursor":{"has_more":true,"next":"map_%[1]d"}}`)},
		{"traits without end", routeTraits, endless(`{"traits":{"t%[1]d":1},"cursor":{"has_more":true,"next":"t%[1]d"}}`)},
		{"list without end", routeList, endless(`{"data":[{"segment_id":"use_%027[1]d","metadata":{"created_at":"2023-01-02T03:04:05Z","updated_at":"2023-01-02T03:04:05Z"}}],"cursor":{"has_more":true,"next":"%[1]d"}}`)},
		{"list that repeats", routeList, endless(`{"data":[{"segment_id":"use_000000000000000000000000001","metadata":{"created_at":"2023-01-02T03:04:05Z","updated_at":"2023-01-02T03:04:05Z"}}],"cursor":{"has_more":true,"next":"%[1]d"}}`)},
		{"cursor with escapes", routeList, always(200, `{"data":[],"cursor":{"has_more":true,"next":"7\u001b[2J\r\n\u202eContinue with: curl"}}`)},
		{"segment_id with escapes", routeList, always(200, `{"data":[{"segment_id":"use_\u001b[2J\r\n../../x?a=b","metadata":{"created_at":"2023-01-02T03:04:05Z","updated_at":"2023-01-02T03:04:05Z"}}],"cursor":{"has_more":false,"next":""}}`)},
		{"export of another host", routeExport, always(200, `{"id":"exp_1","object":"export","status":"DONE","result":{"url":"https://evil.example.com/v1/exports/exp_1?token=x"}}`)},
		{"export of a file", routeExport, always(200, `{"id":"exp_1","object":"export","status":"DONE","result":{"url":"file:///etc/hostname"}}`)},
		{"export that never ends", routeExport, always(200, `{"id":"exp_1","object":"export","status":"IN_PROGRESS","result":null}`)},
		{"one endless row", routeDownload, func(w http.ResponseWriter, _ *http.Request) { repeat(w, "\"a,", 1<<62) }},
		{"rows without end", routeDownload, func(w http.ResponseWriter, _ *http.Request) { repeat(w, "a,b,c\n", 1<<62) }},
	}
	for name, count := range map[string]string{
		"negative": "-9223372036854775808", "huge": "1e300", "more than sent": "1000000000", "a fraction": "1.5", "a text": `"1"`,
	} {
		all = append(all, Hostile{"done_count is " + name, routeAction, always(200, `{"id":"aa_1","type":"CUSTOMERS.BULK_UPDATE","status":"DONE","operation_status":"SUCCESS","progress":100,"created_at":"2023-01-02T03:04:05Z","result":{"done_count":`+count+`,"failed_count":0,"errors":[]}}`)})
	}
	return all
}

// endless answers with form, in which %[1]d is a number that grows with each
// request.
func endless(form string) http.HandlerFunc {
	var n atomic.Int64
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, form, n.Add(1)) }
}

// endlessActions answers with a full page of ever older actions.
func endlessActions() http.HandlerFunc {
	var n atomic.Int64
	now := time.Now()
	return func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"object":"list","data_ref":"async_actions","has_more":true,"async_actions":[`)
		for i := range 100 {
			k := n.Add(1)
			if i > 0 {
				fmt.Fprint(w, ",")
			}
			fmt.Fprintf(w, `{"id":"aa_%x","type":"CUSTOMERS.BULK_UPDATE","status":"DONE","progress":100,"created_at":"%s","object":"async_action"}`,
				k, formatMillis(now.Add(-time.Duration(k)*time.Millisecond)))
		}
		fmt.Fprint(w, `]}`)
	}
}
