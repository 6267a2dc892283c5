package token

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var now = time.Unix(1_800_000_000, 0)

func mint(k Key, c Claims) string { return k.Mint(c.Function, c.Instance, c.Expires) }

func TestVerifyReturnsWhatWasMinted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := NewKey()
		name := rapid.StringN(1, MaxName/4, MaxName)
		c := Claims{
			Function: name.Draw(t, "function"),
			Instance: name.Draw(t, "instance"),
			Expires:  now.Add(time.Duration(rapid.Int64Range(1, 1<<50).Draw(t, "expires"))),
		}
		text := mint(key, c)
		got, err := key.Verify(text, now)
		require.NoError(t, err)
		require.Equal(t, c.Function, got.Function)
		require.Equal(t, c.Instance, got.Instance)
		require.False(t, got.Expires.Before(c.Expires))
		require.Less(t, got.Expires.Sub(c.Expires), time.Second)
		require.NotContains(t, text, " ")
	})
}

func TestAnyChangedCharacterIsRefused(t *testing.T) {
	key := NewKey()
	text := mint(key, Claims{Function: "web", Instance: "i-1", Expires: now.Add(time.Hour)})
	for i := range text {
		for _, c := range []string{"A", "b", "_", "=", " ", ""} {
			changed := text[:i] + c + text[i+1:]
			if changed == text {
				continue
			}
			_, err := key.Verify(changed, now)
			require.Error(t, err, "character %d replaced by %q", i, c)
		}
	}
}

func TestRefusals(t *testing.T) {
	key := NewKey()
	good := Claims{Function: "web", Instance: "i-1", Expires: now.Add(time.Minute)}
	text := mint(key, good)
	cases := []struct {
		name, token string
		at          time.Time
		want        error
	}{
		{"empty", "", now, ErrMalformed},
		{"not base64", "%%%%", now, ErrMalformed},
		{"signature only", strings.Repeat("A", 43), now, ErrMalformed},
		{"too long", strings.Repeat("A", maxText+1), now, ErrMalformed},
		{"another key", mint(NewKey(), good), now, ErrSignature},
		{"at its expiry", text, good.Expires, ErrExpired},
		{"long after", text, now.Add(time.Hour), ErrExpired},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := key.Verify(c.token, c.at)
			require.ErrorIs(t, err, c.want)
		})
	}
}

func TestNamesCannotRunIntoEachOther(t *testing.T) {
	key := NewKey()
	a := mint(key, Claims{Function: "ab", Instance: "c", Expires: now})
	b := mint(key, Claims{Function: "a", Instance: "bc", Expires: now})
	require.NotEqual(t, a, b)
}

func TestMintMakesNothingOfNamesThatVerifyWouldRefuse(t *testing.T) {
	for _, name := range []string{"", strings.Repeat("x", MaxName+1)} {
		require.Empty(t, NewKey().Mint(name, "i", now))
		require.Empty(t, NewKey().Mint("web", name, now))
	}
}

func TestShortKeysAreRefused(t *testing.T) {
	_, err := KeyOf(make([]byte, MinKey-1))
	require.ErrorContains(t, err, "at least 32")
	_, err = KeyOf(make([]byte, MinKey))
	require.NoError(t, err)
}

// Two secrets count at once while one takes the place of the other.
func TestASecretIsReplaced(t *testing.T) {
	before, after := NewSecret(), NewSecret()
	key, err := KeyOf(before)
	require.NoError(t, err)
	copied, old := key, key.Mint("web", "i", now.Add(time.Hour))
	require.NoError(t, key.Change(after, before))
	fresh := key.Mint("web", "i", now.Add(time.Hour))
	for _, token := range []string{old, fresh} {
		_, err := copied.Verify(token, now)
		require.NoError(t, err)
	}
	require.Error(t, key.Change())
	require.Error(t, key.Change(after, nil))
	require.NoError(t, key.Change(after))
	_, err = copied.Verify(old, now)
	require.ErrorIs(t, err, ErrSignature)
	_, err = copied.Verify(fresh, now)
	require.NoError(t, err)
}

func FuzzVerify(f *testing.F) {
	key, _ := KeyOf(make([]byte, MinKey))
	text := key.Mint("web", "i-1", now.Add(time.Hour))
	f.Add(text)
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := key.Verify(text, now)
		if err != nil {
			return
		}
		require.Equal(t, text, mint(key, c), "two texts stand for one token")
	})
}

// FuzzClaims looks behind the signature, which keeps FuzzVerify out of the parser.
func FuzzClaims(f *testing.F) {
	b := appendClaims(nil, Claims{Function: "web", Instance: "i-1", Expires: now})
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseClaims(b)
		if err != nil {
			return
		}
		require.Equal(t, b, appendClaims(nil, c))
	})
}

func BenchmarkVerify(b *testing.B) {
	key := NewKey()
	text := key.Mint("web", "i-1", now.Add(time.Hour))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := key.Verify(text, now); err != nil {
			b.Fatal(err)
		}
	}
}

func TestTheZeroKeyOpensNothing(t *testing.T) {
	require.Empty(t, Key{}.Mint("web", "i", now.Add(time.Hour)))
	forged := key([]byte{}).Mint("web", "i", now.Add(time.Hour))
	_, err := Key{}.Verify(forged, now)
	require.ErrorIs(t, err, ErrSignature)
}

func TestEqual(t *testing.T) {
	require.True(t, Equal("a secret", "a secret"))
	require.False(t, Equal("a secret", "a secres"))
	require.False(t, Equal("a secret", ""))
}
