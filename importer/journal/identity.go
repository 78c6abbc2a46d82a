package journal

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/fnv"
)

// identity stands for a segment id or a source id in the sets on disk.
type identity [16]byte

const (
	hashSHA256 = "sha256" // 128 bits of it: nobody can choose an id that collides
	hashFNV    = "fnv"    // 64 bits, of imports that version 1 began
)

// identityOf must never change: the identities of an import are kept on disk. The last bit
// is always set, so that no identity is zero.
func identityOf(hash, id string) identity {
	if hash == hashFNV {
		h := fnv.New64a()
		h.Write([]byte(id))
		return identityOfFNV(h.Sum64())
	}
	sum := sha256.Sum256([]byte(id))
	short := identity(sum[:16])
	short[15] |= 1
	return short
}

func identityOfFNV(hash uint64) identity {
	var id identity
	binary.LittleEndian.PutUint64(id[:], hash)
	id[15] = 1
	return id
}
