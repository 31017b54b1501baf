#!/bin/sh
# Writes sparse-*.tar.gz, what GNU tar (1.34 here) makes of a file with holes and of one without, in each of
# its forms: sparse.bin is 8 times 512 bytes of a letter, a to h, each followed by 4096 zeros, and a hole of
# 65536; plain.bin is "plain\n".
set -eu
cd "$(dirname "$0")"
dir=$(mktemp -d)
trap 'rm -r "$dir"' EXIT
for letter in a b c d e f g h; do
	head -c 512 /dev/zero | tr '\0' $letter
	head -c 4096 /dev/zero
done > "$dir/sparse.bin"
truncate -s +65536 "$dir/sparse.bin" # without a hole on the disk tar doesn't look for any
echo plain > "$dir/plain.bin"
pack() {
	form=$1
	shift
	tar --sparse --hole-detection=raw --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$dir" "$@" -cf - sparse.bin plain.bin | gzip -9n > "sparse-$form.tar.gz"
}
posix="--format=posix --pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime"
pack gnu --format=gnu
pack 0.0 $posix --sparse-version=0.0
pack 0.1 $posix --sparse-version=0.1
pack 1.0 $posix --sparse-version=1.0
