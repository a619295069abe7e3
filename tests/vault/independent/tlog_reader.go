// Reads a log below a prefix, a folder or a URL, with the Go checksum database's own packages: none of our code.
//
// Usage: go run tlog_reader.go PREFIX VERIFIER_KEY [OLDER_CHECKPOINT]. For a URL, BEARER is the API key that is sent.
// It opens the checkpoint, checks a proof of inclusion for every entry and a proof of consistency with the older one.
package main

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

type reader struct{ prefix string }

func (r reader) Height() int { return height }

func (r reader) SaveTiles([]tlog.Tile, [][]byte) {}

func (r reader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range tiles {
		path := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/", height), "tile/", 1)
		found = append(found, fetch(r.prefix, path))
	}
	return found, nil
}

func fetch(prefix, path string) []byte {
	if !strings.HasPrefix(prefix, "http") {
		content, err := os.ReadFile(filepath.Join(prefix, path))
		check(err)
		return content
	}
	request, err := http.NewRequest("GET", prefix+"/"+path, nil)
	check(err)
	request.Header.Set("Authorization", "Bearer "+os.Getenv("BEARER"))
	answer, err := http.DefaultClient.Do(request)
	check(err)
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	check(err)
	if answer.StatusCode != 200 {
		fail("%s: %s", path, answer.Status)
	}
	return content
}

func open(text []byte, verifier note.Verifier) tlog.Tree {
	opened, err := note.Open(text, note.VerifierList(verifier))
	check(err)
	lines := strings.Split(opened.Text, "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	check(err)
	raw, err := base64.StdEncoding.DecodeString(lines[2])
	check(err)
	tree := tlog.Tree{N: size}
	if copy(tree.Hash[:], raw) != tlog.HashSize || len(raw) != tlog.HashSize {
		fail("the root hash has %d bytes", len(raw))
	}
	return tree
}

func entries(prefix string, size int64) [][]byte {
	var found [][]byte
	for number := int64(0); number*256 < size; number++ {
		tile := tlog.Tile{H: height, L: 0, N: number, W: int(min(256, size-number*256))}
		path := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/0/", height), "tile/entries/", 1)
		rest := fetch(prefix, path)
		for len(rest) > 0 {
			length := int(binary.BigEndian.Uint16(rest))
			found = append(found, rest[2:2+length])
			rest = rest[2+length:]
		}
	}
	return found
}

func min(one, other int64) int64 {
	if one < other {
		return one
	}
	return other
}

func main() {
	verifier, err := note.NewVerifier(os.Args[2])
	check(err)
	prefix := os.Args[1]
	tree := open(fetch(prefix, "checkpoint"), verifier)
	hashes := tlog.TileHashReader(tree, reader{prefix})
	root, err := tlog.TreeHash(tree.N, hashes)
	check(err)
	if root != tree.Hash {
		fail("the tiles' root is not the checkpoint's")
	}
	read := entries(prefix, tree.N)
	if int64(len(read)) != tree.N {
		fail("%d entries for a log of %d", len(read), tree.N)
	}
	for number, entry := range read {
		proof, err := tlog.ProveRecord(tree.N, int64(number), hashes)
		check(err)
		check(tlog.CheckRecord(proof, tree.N, tree.Hash, int64(number), tlog.RecordHash(entry)))
	}
	if len(os.Args) > 3 {
		text, err := os.ReadFile(os.Args[3])
		check(err)
		older := open(text, verifier)
		proof, err := tlog.ProveTree(tree.N, older.N, hashes)
		check(err)
		check(tlog.CheckTree(proof, tree.N, tree.Hash, older.N, older.Hash))
	}
	fmt.Printf("%d entries proven\n", tree.N)
}

func check(err error) {
	if err != nil {
		fail("%v", err)
	}
}

func fail(format string, values ...interface{}) {
	fmt.Fprintf(os.Stderr, format+"\n", values...)
	os.Exit(1)
}
