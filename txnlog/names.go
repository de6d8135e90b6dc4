package txnlog

import (
	"cmp"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Prefixes of the file names. A file that is not complete yet has a name that starts with neither, because a Java server reads
// whatever does; tempPrefix marks such files of ours.
const (
	logPrefix      = "log"
	snapshotPrefix = "snapshot"
	tempPrefix     = "quoll-tmp."
)

// namedFile is a log or snapshot file and the zxid in its name, or -1 if there is none.
type namedFile struct {
	path string
	zxid int64
}

// nameZxid parses a file name as Java does (Util.getZxidFromName): what follows a second dot does not matter.
func nameZxid(name, prefix string) int64 {
	parts := strings.Split(name, ".")
	if len(parts) < 2 || parts[0] != prefix {
		return -1
	}
	zxid, err := strconv.ParseInt(parts[1], 16, 64)
	if err != nil {
		return -1
	}
	return zxid
}

func fileName(prefix string, zxid int64) string { return prefix + "." + strconv.FormatInt(zxid, 16) }

// listFiles returns the files of dir whose names begin with prefix and a dot, lowest zxid first.
func listFiles(fs FS, dir, prefix string) ([]namedFile, error) {
	names, err := fs.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []namedFile
	for _, name := range names {
		if strings.HasPrefix(name, prefix+".") {
			files = append(files, namedFile{filepath.Join(dir, name), nameZxid(name, prefix)})
		}
	}
	slices.SortFunc(files, func(a, b namedFile) int {
		return cmp.Or(cmp.Compare(a.zxid, b.zxid), strings.Compare(a.path, b.path))
	})
	return files, nil
}

// logsFrom returns the logs that reading from the given zxid needs, oldest first: all from there on and the newest one before.
func logsFrom(fs FS, dir string, from int64) ([]namedFile, error) {
	files, err := listFiles(fs, dir, logPrefix)
	if err != nil {
		return nil, err
	}
	files = slices.DeleteFunc(files, func(f namedFile) bool { return f.zxid < 0 })
	first := 0
	for i, f := range files {
		if f.zxid < from {
			first = i
		}
	}
	return files[first:], nil
}
