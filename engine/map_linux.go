package engine

import "golang.org/x/sys/unix"

// mapPopulate has the kernel map all pages at once instead of one by one as
// they are touched.
const mapPopulate = unix.MAP_POPULATE
