package lambdapeer_test

import (
	"fmt"
	"log"
	"net/http"

	"github.com/lambda-dispatch/lambda-dispatch/lambdapeer"
)

func Example() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello, one of %d\n", lambdapeer.InFlight(r.Context()))
	})
	if err := lambdapeer.ListenAndServe(nil); err != nil {
		log.Fatal(err)
	}
}
