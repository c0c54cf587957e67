/*
 * witness: breaks a link and notes when everybody learns of it, beside the agent and without it.
 *
 *     witness NETNS        NETNS holds the far ends of the ports; we run where the agent runs
 *
 * A line on stdin is a command:
 *
 *     down INDEX | up INDEX    sets the far end with that index down or up
 *     dump                     prints what was noted since, then "end", and forgets it
 *
 * Noted, one line each, times in CLOCK_MONOTONIC nanoseconds:
 *
 *     F INDEX NS         right before the kernel was asked to take this far end down
 *     K INDEX CARRIER NS the kernel said an RTM_NEWLINK of the agent's namespace: stamped there, where it hands the message
 *                        to its subscribers
 *     L INDEX CARRIER NS the same message was in an independent subscriber's hands
 *     A INDEX NS         a frame of ethertype 0x88B5 arrived at this far end: what the agent did
 *
 * Nothing is printed in between: who reads it would take the CPU from the agent in the moment that is measured.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <arpa/inet.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct note {
	uint64_t ns;
	int index;
	char what, carrier;
};
static struct note notes[1 << 16];
static unsigned count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static uint64_t read_clock(clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void note(char what, int index, char carrier, uint64_t ns)
{
	pthread_mutex_lock(&lock);
	if (count < sizeof notes / sizeof *notes)
		notes[count++] = (struct note){ns, index, what, carrier};
	pthread_mutex_unlock(&lock);
}

/* Before others that wait for the same message: what it notes is when the message was there. */
static void hurry(void)
{
	struct sched_param p = {.sched_priority = 10};
	pthread_setschedparam(pthread_self(), SCHED_FIFO, &p);
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int stamps;

static int bpf(int command, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, command, attr, sizeof *attr);
}

/*
 * A filter that takes every message and leaves the time in a queue. The kernel runs it on a subscriber's socket while it
 * broadcasts (net/netlink/af_netlink.c, do_one_broadcast), before it wakes anybody.
 */
static int stamp_messages(int fd)
{
	union bpf_attr map = {.map_type = BPF_MAP_TYPE_QUEUE, .value_size = 8, .max_entries = 4096};
	stamps = bpf(BPF_MAP_CREATE, &map);
	if (stamps < 0)
		return -1;
	struct bpf_insn code[] = {
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_ktime_get_ns},
		{.code = BPF_STX | BPF_MEM | BPF_DW, .dst_reg = 10, .src_reg = 0, .off = -8},
		{.code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = 1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = stamps},
		{0},
		{.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 2, .src_reg = 10},
		{.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = 2, .imm = -8},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 3, .imm = BPF_ANY},
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_map_push_elem},
		{.code = BPF_ALU | BPF_MOV | BPF_K, .dst_reg = 0, .imm = -1},
		{.code = BPF_JMP | BPF_EXIT},
	};
	union bpf_attr load = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER, .insns = (uint64_t)(uintptr_t)code,
			       .insn_cnt = sizeof code / sizeof *code, .license = (uint64_t)(uintptr_t)"Apache-2.0"};
	int program = bpf(BPF_PROG_LOAD, &load);
	return program < 0 ? -1 : setsockopt(fd, SOL_SOCKET, SO_ATTACH_BPF, &program, sizeof program);
}

/* The oldest stamp: one for each message that the socket takes, in their order. */
static uint64_t kernel_stamp(void)
{
	uint64_t ns = 0;
	union bpf_attr pop = {.map_fd = (uint32_t)stamps, .value = (uint64_t)(uintptr_t)&ns};
	if (bpf(BPF_MAP_LOOKUP_AND_DELETE_ELEM, &pop) < 0)
		die("a message without a stamp");
	return ns;
}

static void *subscribe(void *arg)
{
	int fd = *(int *)arg;
	_Alignas(8) static char in[65536];
	hurry();
	for (;;) {
		ssize_t n = recv(fd, in, sizeof in, 0);
		uint64_t at = read_clock(CLOCK_MONOTONIC);
		if (n < 0)
			die("recv");
		uint64_t said = kernel_stamp();
		for (struct nlmsghdr *m = (struct nlmsghdr *)in; NLMSG_OK(m, n); m = NLMSG_NEXT(m, n)) {
			struct ifinfomsg *link = NLMSG_DATA(m);
			if (m->nlmsg_type != RTM_NEWLINK || link->ifi_family != AF_UNSPEC)
				continue;
			char carrier = link->ifi_flags & 0x10000 /* IFF_LOWER_UP */ ? '1' : '0';
			note('K', link->ifi_index, carrier, said);
			note('L', link->ifi_index, carrier, at);
		}
	}
	return NULL;
}

static void *listen_air(void *arg)
{
	int fd = *(int *)arg;
	static char in[2048], control[256];
	for (;;) {
		struct sockaddr_ll from;
		struct iovec part = {in, sizeof in};
		struct msghdr m = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &part, .msg_iovlen = 1,
				   .msg_control = control, .msg_controllen = sizeof control};
		ssize_t n = recvmsg(fd, &m, 0);
		if (n < 0 || from.sll_pkttype == PACKET_OUTGOING)
			continue;
		/* The kernel stamps frames with the wall clock; both clocks read together tell its age. */
		uint64_t wall = read_clock(CLOCK_REALTIME), at = read_clock(CLOCK_MONOTONIC), stamp = wall;
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
			if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
				struct timespec *t = (struct timespec *)CMSG_DATA(c);
				stamp = (uint64_t)t->tv_sec * 1000000000u + (uint64_t)t->tv_nsec;
			}
		note('A', from.sll_ifindex, '-', at - (wall - stamp));
	}
	return NULL;
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	int events = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	int size = 8 << 20, on = 1, group = RTNLGRP_LINK;
	setsockopt(events, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
	/* Unbound, it would count as the kernel itself and be told nothing. */
	struct sockaddr_nl self = {.nl_family = AF_NETLINK};
	if (bind(events, (struct sockaddr *)&self, sizeof self) < 0)
		die("bind");
	if (stamp_messages(events) < 0)
		die("stamping netlink messages by BPF");
	if (setsockopt(events, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) < 0)
		die("subscribe");

	char path[128];
	snprintf(path, sizeof path, "/run/netns/%s", argv[1]);
	int ns = open(path, O_RDONLY | O_CLOEXEC);
	if (ns < 0 || setns(ns, CLONE_NEWNET) < 0)
		die(path);
	int route = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	int air = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(0x88b5));
	if (route < 0 || air < 0 || setsockopt(air, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) < 0)
		die("socket");

	pthread_t thread;
	pthread_create(&thread, NULL, subscribe, &events);
	pthread_create(&thread, NULL, listen_air, &air);
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);

	char line[128];
	while (fgets(line, sizeof line, stdin)) {
		int index;
		if (strncmp(line, "dump", 4) == 0) {
			pthread_mutex_lock(&lock);
			for (unsigned i = 0; i < count; i++)
				if (notes[i].what == 'K' || notes[i].what == 'L')
					printf("%c %d %c %llu\n", notes[i].what, notes[i].index, notes[i].carrier, (unsigned long long)notes[i].ns);
				else
					printf("%c %d %llu\n", notes[i].what, notes[i].index, (unsigned long long)notes[i].ns);
			count = 0;
			pthread_mutex_unlock(&lock);
			printf("end\n");
			fflush(stdout);
			continue;
		}
		int up = sscanf(line, "up %d", &index) == 1;
		if (!up && sscanf(line, "down %d", &index) != 1)
			return 2;
		struct {
			struct nlmsghdr h;
			struct ifinfomsg link;
		} m = {{sizeof m, RTM_NEWLINK, NLM_F_REQUEST, 0, 0},
		       {.ifi_index = index, .ifi_flags = up ? IFF_UP : 0, .ifi_change = IFF_UP}};
		uint64_t at = read_clock(CLOCK_MONOTONIC);
		if (send(route, &m, sizeof m, 0) < 0)
			die("send");
		if (!up)
			note('F', index, '-', at);
	}
	return 0;
}
