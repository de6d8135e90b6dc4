package console

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"quoll/client"
	"quoll/compat/ensemble"
	"quoll/compat/peer"
	"quoll/jute"
)

// TestConsole signs in at the leader of an ensemble, goes through the views, by mouse and by keyboard, changes znodes, and finds nothing in the console of the browser that is wrong.
func TestConsole(t *testing.T) {
	b := startBrowser(t)
	leader, follower := start(t)
	c, err := client.Connect(t.Context(), leader.Addr(), client.Options{})
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	plant(t, c)
	work(t, leader.Addr())
	b.size(1280, 820)
	at := func(view string) {
		t.Helper()
		eval[string](b, fmt.Sprintf("location.hash = %q", view))
	}
	run(b, "navigate", chromedp.Navigate(leader.page))
	b.await("document.querySelector('#user')")
	b.picture("signin")
	b.keys("maria" + kb.Tab + "secret" + kb.Enter)
	b.text("#who", "digest:maria")
	b.text(".path", "/")

	t.Run("Tree", func(t *testing.T) {
		b.text("[role=treeitem] .name", "shop")
		at("#/tree/shop/config/payments")
		b.text("pre", `"currency": "EUR"`)
		b.text("pre", "72057594037927937") // letter by letter, where a number of the browser's would be another
		b.await("document.querySelector('[aria-selected=true] .name').textContent === 'payments'")
		b.click("[role=tab]:nth-child(3)")
		b.text("pre", "7b 22 63 75 72 72")
		b.click("[role=tab]:nth-child(2)")
		at("#/tree/shop/binary")
		b.text("pre", "00000000  00 ff 3c 62 3e")
		at("#/tree/shop/secret")
		b.text(".note", "You may not")
		if eval[bool](b, "document.body.innerText.includes('nobody knows')") {
			t.Error("what may not be read is there")
		}
		b.errors() // the browser notes the answer 403
	})

	t.Run("Pages", func(t *testing.T) {
		at("#/tree/many")
		b.await("document.querySelectorAll('[role=treeitem]').length > 200")
		before := eval[int](b, "document.querySelectorAll('[role=treeitem]').length")
		b.click(".more button")
		b.await(fmt.Sprintf("document.querySelectorAll('[role=treeitem]').length === %d", before+200))
		b.click("input[type=search]")
		b.keys("29")
		b.text(".found + p", "159 found.")
		b.await("document.querySelectorAll('.found a').length === 159 && !document.querySelector('.found + p button')")
		b.keys(kb.Backspace)
		b.text(".found + p", "200 of 1,542 found.")
		b.click(".found + p button")
		b.text(".found + p", "400 of 1,542 found.")
		b.await("document.querySelectorAll('.found a').length === 400")
		b.keys(kb.Enter) // More still has the focus
		b.text(".found + p", "600 of 1,542 found.")
		b.click("input[type=search]")
		b.keys("997")
		b.text(".found + p", "1 found.") // n2997
		b.await("document.querySelectorAll('.found a').length === 1")
		b.click(".found a")
		b.text(".path", "n2997")
		b.await("document.querySelector('[aria-selected=true] .name').textContent === 'n2997'")
		b.click(".more button")
		b.await("document.querySelector('.more')?.nextSibling?.ariaLabel === 'n2997' && document.querySelector('.more').previousSibling.ariaLabel === 'n0599'")
	})

	t.Run("Hostile", func(t *testing.T) {
		at("#/tree/hostile")
		for _, name := range hostile {
			b.text("[role=treeitem] .name", strings.NewReplacer("\u202e", `\u202e`).Replace(name))
			at("#/tree/hostile/" + eval[string](b, fmt.Sprintf("encodeURIComponent(%q)", name)))
			b.text("pre", hostile[0])
		}
		if eval[bool](b, "'pwned' in window || !!document.querySelector('main script, main img, main b')") {
			t.Error("a znode is markup")
		}
	})

	t.Run("Keyboard", func(t *testing.T) {
		at("#/tree/")
		b.await("document.querySelector('[aria-selected=true] .name').textContent === '/'")
		eval[bool](b, "document.querySelector('[role=treeitem]').focus(), true")
		b.keys(kb.End)
		b.await("document.activeElement.ariaLabel === 'zookeeper'")
		b.keys(kb.ArrowRight)
		b.await("document.activeElement.ariaExpanded === 'true' && document.activeElement.querySelector('[role=treeitem]')")
		b.keys(kb.ArrowRight + kb.Enter)
		b.await("location.hash === '#/tree/zookeeper/config' && document.querySelector('[aria-selected=true] .name').textContent === 'config'")
		b.keys(kb.ArrowLeft + kb.ArrowLeft)
		b.await("document.activeElement.ariaLabel === 'zookeeper' && document.activeElement.ariaExpanded === 'false'")
	})

	t.Run("Edit", func(t *testing.T) {
		at("#/tree/shop/locks")
		b.text(".path", "locks")
		b.click("details:nth-of-type(2) summary")
		b.click("[aria-label='Name of the child']")
		b.keys("new <b>")
		b.click("[aria-label='Data of the child']")
		b.keys("grüße")
		b.click("details[open] button")
		b.await("location.hash === '#/tree/shop/locks/new%20%3Cb%3E'")
		b.text("pre", "grüße")
		if data, _, err := c.Get(t.Context(), "/shop/locks/new <b>", false); err != nil || string(data) != "grüße" {
			t.Errorf("%q, %v", data, err)
		}
		b.click("details:nth-of-type(1) summary")
		b.click("[aria-label='New data']")
		b.keys(" and more")
		b.click("details[open] button")
		b.await("[...document.querySelectorAll('pre')].some((e) => e.textContent.endsWith('and more') || e.textContent.startsWith(' and more'))")
		b.click("details:nth-of-type(3) summary")
		b.click("[aria-label='Type the name to delete it']")
		b.keys("new <b>")
		b.click("details[open] button")
		b.await("location.hash === '#/tree/shop/locks'")
		if _, err := c.Exists(t.Context(), "/shop/locks/new <b>", false); err != jute.ErrNoNode {
			t.Error(err)
		}
	})

	t.Run("Sessions", func(t *testing.T) {
		at("#/sessions/")
		id, _, _ := c.Session()
		text := fmt.Sprintf("0x%x", uint64(id))
		b.text("td a", text)
		b.click("th:nth-child(4) button") // ephemerals
		b.await(fmt.Sprintf("document.querySelector('th:nth-child(4)').ariaSort === 'descending' && document.querySelector('td a').textContent === %q", text))
		if !eval[bool](b, "document.activeElement.textContent === 'Ephemerals'") {
			t.Error("the head that was chosen has lost the focus")
		}
		b.keys(kb.Enter)
		b.await(fmt.Sprintf("document.querySelector('th:nth-child(4)').ariaSort === 'ascending' && document.querySelector('td a').textContent !== %q", text))
		b.click("th:nth-child(1) button")
		b.await("document.querySelector('[aria-sort]').textContent === 'Id' && document.querySelector('[aria-sort]').ariaSort === 'ascending'")
		b.await("(ids => ids.length > 4 && ids.join() === ids.toSorted().join())([...document.querySelectorAll('td a')].map((e) => e.textContent))")
		eval[bool](b, fmt.Sprintf("document.querySelector('input[type=search]').value = %q, document.querySelector('input[type=search]').dispatchEvent(new Event('input')), true", text))
		b.await("document.querySelectorAll('tbody tr').length === 1")
		b.await("/^1 of [0-9]+$/.test(document.querySelector('main [role=status]').textContent)")
		b.click("td a")
		b.text(".plain a", "/shop/workers/worker-2")
		b.text("td", "/shop/config")
		b.text("td", "recursive")
		b.text("dd", "127.0.0.1:")
		stays(b, "a[href='#/tree/shop/workers/worker-2']")
	})

	t.Run("Ensemble", func(t *testing.T) {
		at("#/ensemble/")
		b.await("document.querySelectorAll('tbody tr').length === 4")
		b.text("td", "in step")
		b.text("td", "leader")
		b.text("td", "observer")
		b.text("#status", "leader")
		b.size(390, 844)
		stays(b, ".scroll")
		if at := eval[int](b, "document.querySelector('.scroll').scrollLeft"); at != 100 {
			t.Errorf("a table that was scrolled to 100 is at %d", at)
		}
		b.size(1280, 820)
	})

	t.Run("Charts", func(t *testing.T) {
		at("#/charts/")
		b.await("document.querySelectorAll('.chart').length === 9 && document.querySelectorAll('.stroke').length >= 12")
		b.await("/reads [1-9]/.test(document.querySelector('.chart svg').ariaLabel)")
		if *update {
			time.Sleep(60 * time.Second) // lines that are long enough for a picture
		}
	})

	t.Run("Slow", func(t *testing.T) {
		at("#/slow/")
		b.text("td a", "/shop/config/payments")
		b.text("td code", "127.0.0.1:")
		b.text("td a", "/shop/config")
	})

	t.Run("Pictures", func(t *testing.T) {
		for _, view := range views {
			at(view.hash)
			run(b, "mouse", chromedp.MouseEvent(chromedp.MouseMoved, 1270, 70)) // where it is over nothing
			for _, size := range []struct {
				name          string
				width, height int64
			}{{"", 1280, 820}, {"-small", 390, 844}} {
				b.size(size.width, size.height)
				for _, scheme := range []string{"light", "dark"} {
					b.scheme(scheme)
					b.text(view.selector, view.text)
					if wide := eval[int](b, "document.documentElement.scrollWidth"); wide > int(size.width) {
						t.Errorf("%s is %d pixels wide in a window of %d", view.name, wide, size.width)
					}
					for _, wrong := range eval[[]string](b, access) {
						t.Errorf("%s, %s: %s", view.name, scheme, wrong)
					}
					eval[bool](b, "document.querySelector('[aria-selected=true] > .row')?.scrollIntoView({ block: 'center' }), window.scrollTo(0, 0), true")
					b.picture(view.name + "-" + scheme + size.name)
				}
			}
		}
		b.size(1280, 820)
	})

	t.Run("Follower", func(t *testing.T) {
		run(b, "navigate", chromedp.Navigate(follower.page+"#/tree/shop/config"))
		b.await("document.querySelector('#user')")
		b.keys("maria" + kb.Tab + "secret" + kb.Enter)
		b.click("details:nth-of-type(2) summary")
		b.click("[aria-label='Name of the child']")
		b.keys("by the follower")
		b.click("details[open] button")
		b.await("location.hash === '#/tree/shop/config/by%20the%20follower'")
		at("#/ensemble/")
		b.text("td", "ask the leader")
		b.text("a[rel=noreferrer]", fmt.Sprintf("the console of server %d", leader.ID))
		b.await("document.querySelector('a[rel=noreferrer]').href.startsWith('http://127.0.0.1:')")
		b.text("#status", "follower")
	})

	t.Run("SignOut", func(t *testing.T) {
		b.click("#who button")
		b.await("document.querySelector('#user') && sessionStorage.length === 0")
	})
	if said := b.errors(); said != nil {
		t.Errorf("the page had errors: %q", said)
	}
}

// stays has an element scrolled and focused, and waits until the page has shown a newer one that has the focus too.
func stays(b *browser, selector string) {
	b.Helper()
	eval[bool](b, fmt.Sprintf("(globalThis.old = document.querySelector(%q)).focus(), old.scrollTo(100, 0), true", selector))
	b.await(fmt.Sprintf("document.querySelector(%q) !== old", selector))
	if !eval[bool](b, fmt.Sprintf("document.querySelector(%q) === document.activeElement", selector)) {
		b.Errorf("%s has lost the focus", selector)
	}
}

// member is a server with the address of its console.
type member struct {
	*ensemble.Member
	page string
}

// start starts an ensemble of three voters and an observer.
func start(t *testing.T) (leader, follower member) {
	t.Helper()
	e, err := ensemble.New(ensemble.Options{Work: t.TempDir(), Kinds: []ensemble.Kind{ensemble.Quoll, ensemble.Quoll, ensemble.Quoll, ensemble.Quoll}, Observers: 1})
	must(t, err)
	pages := map[int64]string{}
	for _, m := range e.Members {
		port, err := peer.FreePort()
		must(t, err)
		pages[m.ID] = fmt.Sprintf("http://127.0.0.1:%d/console/", port)
		must(t, e.Configure(m, "admin.enableServer=true", "admin.serverAddress=127.0.0.1", fmt.Sprint("admin.serverPort=", port), "admin.console=edit", "admin.rateLimiterIntervalInMS=0"))
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(e.Tails(30))
		}
		must(t, e.Close())
	})
	must(t, e.Start())
	led, err := e.Serving()
	must(t, err)
	for _, m := range e.Members {
		if m.ID != led.ID && !m.Observer {
			follower = member{m, pages[m.ID]}
		}
	}
	return member{led, pages[led.ID]}, follower
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// work has clients that watch, read and write until the test ends.
func work(t *testing.T, addr string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	t.Cleanup(func() { cancel(); done.Wait() })
	for i := range 4 {
		c, err := client.Connect(ctx, addr, client.Options{})
		must(t, err)
		for _, path := range []string{"/shop/config", "/shop/workers", "/shop/config/payments"}[:1+i%3] {
			_, _, err := c.Children(ctx, path, true)
			must(t, err)
			_, err = c.Exists(ctx, path, true)
			must(t, err)
		}
		done.Go(func() {
			defer c.Close()
			for n := 0; ctx.Err() == nil; n++ {
				for range 3 + 2*i + int(6*(1+math.Sin(float64(n)/300))) {
					_, _, _ = c.Get(ctx, "/shop/config/payments", false)
				}
				switch {
				case n%3 == 0:
					_, _, _ = c.Children(ctx, "/shop/workers", false)
				case n%5 == 0:
					_, _ = c.Set(ctx, "/shop/config/search", []byte("index=products\nshards=4\nreplicas=2\n"), -1)
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
}

// views are those that there are pictures of, with what is to be seen there.
var views = []struct{ name, hash, selector, text string }{
	{"charts", "#/charts/", "h2", "Latency"},
	{"slow", "#/slow/", "td a", "/shop/config/search"},
	{"ensemble", "#/ensemble/", "td", "in step"},
	{"sessions", "#/sessions/", "td a", "0x"},
	{"tree", "#/tree/shop/config/payments", "pre", "currency"},
}

// access finds what has no name for those who do not see the page, and text that stands out too little from what is behind it (WCAG 2.2, 4.1.2 and 1.4.3).
const access = `(() => {
	const wrong = [];
	for (const e of document.querySelectorAll("a, button, input, select, textarea, summary, [tabindex], svg")) {
		const name = e.ariaLabel || [...(e.labels ?? [])].map((l) => l.textContent).join() || e.textContent.trim() || e.querySelector("img")?.alt;
		if (e.checkVisibility() && e.id !== "main" && !name) {
			wrong.push("no name: " + e.outerHTML.slice(0, 100));
		}
	}
	const channels = (color) => color.match(/[\d.]+/g).map(Number);
	const light = (color) => channels(color).slice(0, 3).map((c) => c / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4).reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
	const behind = (e) => { for (; e; e = e.parentElement) { const color = getComputedStyle(e).backgroundColor; if ((channels(color)[3] ?? 1) === 1) { return color; } } return "rgb(255, 255, 255)"; };
	const seen = new Set();
	const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let text = texts.nextNode(); text; text = texts.nextNode()) {
		const e = text.parentElement;
		if (!text.data.trim() || !e.checkVisibility({ visibilityProperty: true }) || seen.has(e.className + e.tagName)) {
			continue;
		}
		seen.add(e.className + e.tagName);
		const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x);
		if ((a + 0.05) / (b + 0.05) < 4.5) {
			wrong.push("contrast " + ((a + 0.05) / (b + 0.05)).toFixed(2) + ": " + e.outerHTML.slice(0, 100));
		}
	}
	return wrong;
})()`

// hostile are names and data that must stay text.
var hostile = []string{"<script>window.pwned=1<", "<img src=x onerror=window.pwned=1>", "\u202egpj.exe", "&lt;b&gt;", "%2e%2e", "#?"}

// plant fills the tree.
func plant(t *testing.T, c *client.Client) {
	t.Helper()
	create := func(path, data string, mode jute.CreateMode, acl ...jute.ACL) {
		t.Helper()
		if acl == nil {
			acl = client.OpenACL
		}
		if _, err := c.Create(t.Context(), path, []byte(data), acl, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"/shop", "/shop/config", "/shop/workers", "/hostile", "/many"} {
		create(path, "", jute.ModePersistent)
	}
	create("/shop/locks", "", jute.ModeContainer)
	create("/shop/config/payments", `{"currency":"EUR","retries":3,"timeouts":{"connect":"2s","read":"10s"},"methods":["card","transfer","invoice"],"account":72057594037927937,"sandbox":false}`, jute.ModePersistent)
	create("/shop/config/search", "index=products\nshards=4\nreplicas=2\n", jute.ModePersistent)
	create("/shop/binary", "\x00\xff<b>bytes", jute.ModePersistent)
	create("/shop/secret", "nobody knows", jute.ModePersistent, jute.ACL{Perms: jute.PermAll, Scheme: "digest", ID: "other:x"})
	for i := range 3 {
		create(fmt.Sprintf("/shop/workers/worker-%d", i+1), fmt.Sprintf("10.0.0.%d:8080", i+1), jute.ModeEphemeral)
	}
	for _, name := range hostile {
		create("/hostile/"+name, hostile[0], jute.ModePersistent)
	}
	_, err := c.Exists(t.Context(), "/shop/config", true)
	must(t, err)
	must(t, c.AddWatch(t.Context(), "/shop/workers", jute.AddWatchPersistentRecursive))
	for i := 0; i < 3000; i += 500 {
		var batch []jute.Operation
		for n := range 500 {
			batch = append(batch, jute.Operation{Op: jute.OpCreate, Path: fmt.Appendf(nil, "/many/n%04d", i+n), ACL: []jute.ACLText{{Perms: jute.PermAll, Scheme: []byte("world"), ID: []byte("anyone")}}})
		}
		if _, err := c.Multi(t.Context(), batch...); err != nil {
			t.Fatal(err)
		}
	}
}
