// A receiver that verifies each delivery and drops repetitions.
//
//	WEBHOOK_SECRET=whsec_... go run . 9000
//
// Prints one line for each delivery that is genuine and new. Needs only the standard library, and a hook with a secret and
// "format": "json" (the default is form-data).
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"sync"
	"time"

	"receiver/webhook"
)

func main() {
	// The ids of processed deliveries. A real receiver stores the id in the same transaction as its work.
	seen, lock := map[string]bool{}, sync.Mutex{}
	handler := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || !webhook.Verify(r.Header, body, 5*time.Minute) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		var event struct {
			Name string `json:"hook_event"`
		}
		if err := json.Unmarshal(body, &event); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		lock.Lock()
		defer lock.Unlock()
		if delivery := r.Header.Get("webhook-id"); !seen[delivery] {
			fmt.Println(delivery, event.Name)
			seen[delivery] = true
		}
		// Returning answers 200, after which the delivery does not come again.
	}
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], http.HandlerFunc(handler)))
}
