package console

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"quoll/compat/peer"
)

var update = flag.Bool("update", false, "write the pictures in docs/console")

// patience is how long the page may take for what it is asked to do, on a machine that has other things to do.
const patience = 30 * time.Second

// browser is a real browser with one page.
type browser struct {
	testing.TB
	ctx context.Context

	mu   sync.Mutex
	said []string // errors that the page wrote to its console
}

func startBrowser(t testing.TB) *browser {
	t.Helper()
	dir, err := peer.Path("chromium")
	peer.Check(t, err)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(filepath.Join(dir, "chromium")), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()), chromedp.WSURLReadTimeout(patience))
	alloc, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(alloc)
	b := &browser{TB: t, ctx: ctx}
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	listening := make(chan struct{})
	go func() {
		defer close(listening)
		for m, err := range chromedp.Console(ctx) {
			if err != nil {
				return
			}
			if m.IsException() || m.Type == "error" {
				b.mu.Lock()
				b.said = append(b.said, m.String())
				b.mu.Unlock()
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-listening
	})
	return b
}

// errors are those that the page had since the last call.
func (b *browser) errors() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	said := b.said
	b.said = nil
	return said
}

func run[T any](b *browser, what string, action chromedp.Action[T]) T {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, action)
	if err != nil {
		b.Fatalf("%s: %v", what, err)
	}
	return v
}

// eval is the value of an expression in the page.
func eval[T any](b *browser, expression string) T {
	b.Helper()
	return run(b, expression, chromedp.Evaluate[T](expression))
}

// await waits until an expression is true.
func (b *browser) await(expression string) {
	b.Helper()
	for end := time.Now().Add(patience); !eval[bool](b, "!!("+expression+")"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			b.Fatalf("it does not come true: %s\n%s\n%q", expression, eval[string](b, "document.body.innerText"), b.errors())
		}
	}
}

// text waits until an element has a text in it.
func (b *browser) text(selector, text string) {
	b.Helper()
	b.await(fmt.Sprintf("[...document.querySelectorAll(%q)].some((e) => e.textContent.includes(%q))", selector, text))
}

func (b *browser) click(selector string) {
	b.Helper()
	b.await(fmt.Sprintf("document.querySelector(%q)", selector))
	run(b, "click "+selector, chromedp.Click(chromedp.CSS(selector)))
}

func (b *browser) keys(keys string) {
	b.Helper()
	run(b, "keys", chromedp.KeyEvent(keys))
}

func (b *browser) size(width, height int64) {
	b.Helper()
	run(b, "size", chromedp.EmulateViewport(width, height))
}

// scheme is light or dark.
func (b *browser) scheme(name string) {
	b.Helper()
	run(b, "scheme", func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features})
		return chromedp.Void{}, err
	})
}

// picture writes a picture into the documentation, if the test is run to do so.
func (b *browser) picture(name string) {
	b.Helper()
	picture := run(b, "picture", chromedp.CaptureScreenshot())
	if !*update {
		return
	}
	if err := os.WriteFile(filepath.Join("../../docs/console", name+".png"), picture, 0o644); err != nil {
		b.Fatal(err)
	}
}
