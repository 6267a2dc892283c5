package invokeapi

import (
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPagesFollowEachOther(t *testing.T) {
	list := make([]int, 2*pageLimit+7)
	for n := range list {
		list[n] = n
	}
	for _, asked := range []string{"", "1", "7", strconv.Itoa(maxItems)} {
		var got []int
		for marker := ""; ; {
			_, body, err := page(httptest.NewRequest("GET", "/?MaxItems="+asked+"&Marker="+marker, nil), "Numbers", list, maxItems)
			require.NoError(t, err)
			fields := body.(map[string]any)
			part := fields["Numbers"].([]int)
			require.NotEmpty(t, part)
			require.LessOrEqual(t, len(part), pageLimit)
			got = append(got, part...)
			next, more := fields["NextMarker"].(string)
			if !more {
				break
			}
			marker = next
		}
		require.Equal(t, list, got, asked)
	}
}

func TestABadPageIsNamed(t *testing.T) {
	for query, name := range map[string]string{
		"MaxItems=0": "maxItems", "MaxItems=x": "maxItems", "MaxItems=10001": "maxItems", "Marker=x": "marker", "Marker=-1": "marker", "Marker=3": "marker",
	} {
		_, _, err := page(httptest.NewRequest("GET", "/?"+query, nil), "Numbers", []int{1, 2}, maxItems)
		require.ErrorContains(t, err, name, query)
		require.ErrorContains(t, err, "ValidationException", query)
	}
}
