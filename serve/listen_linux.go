package serve

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// handshake is how long a connection that has begun may take until it can be accepted: the
// time to the client and back.
const handshake = 250 * time.Millisecond

// noMore has the kernel drop what would begin another connection, and waits until those that
// have begun are there to be accepted (see [unaccepted]): closing the listener would reset them,
// and their clients have sent requests already. Whoever is dropped tries again a second later, and
// finds the port closed. Where a sandbox forbids the filter there is nothing to wait for.
func noMore(l net.Listener) {
	const flags, syn, ack = 13, 0x02, 0x10 // of a TCP header
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: flags},
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: syn | ack},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: syn, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},          // drop
		{Code: unix.BPF_RET | unix.BPF_K, K: 0xffffffff}, // keep all of it
	}
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
	})
	if err == nil && failed == nil {
		time.Sleep(handshake)
	}
}

// unaccepted is how many connections wait to be accepted: of a socket that listens, that is
// what the kernel has in the place of its unacknowledged segments (tcp_get_info).
func unaccepted(l net.Listener) (n int) {
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return 0
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0
	}
	raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.SOL_TCP, unix.TCP_INFO); err == nil {
			n = int(info.Unacked)
		}
	})
	return n
}
