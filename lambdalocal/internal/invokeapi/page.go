package invokeapi

import (
	"net/http"
	"strconv"

	"github.com/lambda-dispatch/lambda-dispatch/lambdalocal/internal/serviceerror"
)

// pageLimit is the most that a page of a list holds, and maxItems the most that a caller may ask for of most lists.
const (
	pageLimit = 50
	maxItems  = 10_000
)

// page answers with a part of a list under its name: the one that the Marker of the request leads to, as long as MaxItems
// allows, and the marker of the next. MaxItems may be most.
func page[T any](r *http.Request, name string, list []T, most int) (int, any, error) {
	query := r.URL.Query()
	n := pageLimit
	if text := query.Get("MaxItems"); text != "" {
		asked, err := strconv.Atoi(text)
		if err != nil {
			return 0, nil, serviceerror.Invalid(text, "maxItems", "must be a number")
		}
		if err := within(&asked, 1, most, "maxItems"); err != nil {
			return 0, nil, err
		}
		n = min(asked, pageLimit)
	}
	from := 0
	if text := query.Get("Marker"); text != "" {
		at, err := strconv.Atoi(text)
		if err != nil || at < 0 || at > len(list) {
			return 0, nil, serviceerror.Invalid(text, "marker", "must be the NextMarker of an earlier page")
		}
		from = at
	}
	end := min(from+n, len(list))
	body := map[string]any{name: list[from:end]}
	if end < len(list) {
		body["NextMarker"] = strconv.Itoa(end)
	}
	return http.StatusOK, body, nil
}
