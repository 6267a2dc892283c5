package serviceerror

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheShapeOfEachError(t *testing.T) {
	for _, test := range []struct {
		err    error
		status int
		kind   string
		body   string
	}{
		{New(TypeNotFound, "no %s", "web"), 404, TypeNotFound, `{"Type":"User","Message":"no web"}`},
		{Throttled(ReasonAccountLimit), 429, TypeThrottled, `{"Type":"User","message":"Rate Exceeded.","Reason":"ConcurrentInvocationLimitExceeded"}`},
		{New(TypeTooLarge, "x"), 413, TypeTooLarge, `{"Type":"User","message":"x"}`},
		{New(TypeInvalidContent, "x"), 400, TypeInvalidContent, `{"Type":"User","message":"x"}`},
		{New(TypeInvalidValue, "x"), 400, TypeInvalidValue, `{"Type":"User","message":"x"}`},
		{New(TypeAccessDenied, "x"), 403, TypeAccessDenied, `{"Message":"x"}`},
		{New(TypeService, "x"), 500, TypeService, `{"Type":"Service","Message":"x"}`},
		{New(TypeUnknown, "x"), 404, TypeUnknown, `{"Message":"x"}`},
		{New(TypeNotProvisioned, "x"), 404, TypeNotProvisioned, `{"Type":"User","message":"x"}`},
		{errors.New("x"), 500, TypeService, `{"Type":"Service","Message":"x"}`},
		{fmt.Errorf("place: %w", New(TypeTooLarge, "x")), 413, TypeTooLarge, `{"Type":"User","message":"x"}`},
	} {
		w := httptest.NewRecorder()
		Send(w, test.err)
		require.Equal(t, test.status, w.Code)
		require.Equal(t, test.kind, w.Header().Get("X-Amzn-ErrorType"))
		require.JSONEq(t, test.body, w.Body.String())
		if test.kind == TypeThrottled {
			require.Equal(t, "1", w.Header().Get("Retry-After"))
		} else {
			require.NotContains(t, w.Header(), "Retry-After")
		}
	}
}
