package page_test

import (
	"bytes"
	"cmp"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// pictures are those of docs/operating.md.
const pictures = "../../../../docs/page"

// TestPictures takes them anew, with -update.
func TestPictures(t *testing.T) {
	if !*update {
		t.Skip("only with -update")
	}
	b, s := openBrowser(t), busy()
	b.view(1200, false)
	b.open(serve(t, s, leads))
	b.shows("h2", "checkout")
	require.Eventually(t, func() bool { return s.seen() > 40 }, 2*time.Minute, time.Second) // something for the lines
	b.picture(1200, 1180, false, "desktop-light.png")
	b.picture(1200, 1180, true, "desktop-dark.png")
	b.picture(390, 844, false, "phone-light.png")
}

// picture writes what a window of a size shows.
func (b browser) picture(width, height int64, dark bool, name string) {
	b.t.Helper()
	b.window(width, height, dark)
	b.holds("document.getAnimations().filter((a) => a instanceof CSSTransition).length === 0")
	shot, err := chromedp.Run(b.tab, chromedp.CaptureScreenshot())
	require.NoError(b.t, err)
	require.NoError(b.t, os.MkdirAll(pictures, 0o755))
	require.NoError(b.t, os.WriteFile(filepath.Join(pictures, name), fewColours(b.t, shot), 0o644))
}

// fewColours makes a picture small: 256 colours are enough for a page.
func fewColours(t *testing.T, shot []byte) []byte {
	t.Helper()
	full, err := png.Decode(bytes.NewReader(shot))
	require.NoError(t, err)
	small := image.NewPaletted(full.Bounds(), commonest(full))
	draw.Draw(small, full.Bounds(), full, image.Point{}, draw.Src)
	var out bytes.Buffer
	require.NoError(t, (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, small))
	return out.Bytes()
}

func commonest(picture image.Image) color.Palette {
	counts := map[color.RGBA]int{}
	for y := range picture.Bounds().Dy() {
		for x := range picture.Bounds().Dx() {
			counts[color.RGBAModel.Convert(picture.At(x, y)).(color.RGBA)]++
		}
	}
	colours := make([]color.RGBA, 0, len(counts))
	for c := range counts {
		colours = append(colours, c)
	}
	slices.SortFunc(colours, func(a, b color.RGBA) int { return cmp.Compare(counts[b], counts[a]) })
	var palette color.Palette
	for _, c := range colours[:min(256, len(colours))] {
		palette = append(palette, c)
	}
	return palette
}

// The documents' pictures are small enough for a repository.
func TestPicturesAreSmall(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(pictures, "*.png"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		info, err := os.Stat(file)
		require.NoError(t, err)
		require.Less(t, info.Size(), int64(150_000), file)
	}
}
