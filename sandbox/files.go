package sandbox

import (
	"io"
	"time"
)

// A FileOp is an operation on the files of a sandbox.
type FileOp string

// The operations. What they give out and take are bytes of a [Transfer].
const (
	FileRead   FileOp = "read"   // gives the bytes of a file
	FileWrite  FileOp = "write"  // takes the bytes of a file, whose folder is made; gives its FileInfo as JSON
	FileStat   FileOp = "stat"   // gives one FileInfo as JSON
	FileList   FileOp = "list"   // gives FileInfos as JSON, one a line, sorted by path
	FileRemove FileOp = "remove" // gives nothing
	FileMkdir  FileOp = "mkdir"  // gives nothing; parents are made, and one that is there is well
	FilePack   FileOp = "pack"   // gives a tree as tar
	FileUnpack FileOp = "unpack" // takes a tree as tar, into a folder that is made
)

// A FileRequest asks for an operation. It is done with the rights and within the
// limits of the sandbox.
type FileRequest struct {
	Op        FileOp
	Path      string // inside; a relative one begins at /work
	From      int64  // of read: offset in bytes; below 0 counts from the end
	Size      int64  // of read: bytes at most; 0 is all
	Mode      uint32 // of write and mkdir: permission bits of what is made; 0 is 0644, 0755
	Append    bool   // of write: behind what is there
	Exclusive bool   // of write: only when there is no such file
	Recursive bool   // of list and remove: with what is below
	Limit     int    // of list: entries at most; 0 is 1000
}

// A FileType is what stands at a path.
type FileType string

// The types of files.
const (
	RegularFile FileType = "file"
	Directory   FileType = "directory"
	Symlink     FileType = "symlink"
	OtherFile   FileType = "other"
)

// A FileInfo tells of one file. What comes in it is hostile.
type FileInfo struct {
	Path     string    `json:"path"` // absolute; of list: as it is below the directory
	Type     FileType  `json:"type"`
	Size     int64     `json:"size"` // bytes
	Mode     uint32    `json:"mode"` // permission bits
	Modified time.Time `json:"modified"`
	Target   string    `json:"target,omitempty"` // of a symlink
	More     bool      `json:"more,omitempty"`   // of the last of a list: there are others
}

// A Transfer is an operation on files that goes on. It is for one goroutine, and
// must be closed. Reads end with io.EOF when the operation has succeeded, else
// with an *Error: Kind NotFound when there is no such file, Invalid when it is
// of another type or forbidden, Conflict when it must not be there, Exhausted
// when the sandbox has no room or no task for it, Stopped when the sandbox died.
type Transfer interface {
	io.Reader
	// Write gives bytes to an operation that takes some, and waits until they
	// are taken.
	io.Writer
	// CloseWrite says that all bytes were written. The operation then ends.
	CloseWrite() error
	// Close ends the operation, done or not, and gives back what it held.
	Close() error
}
