/* What x0undo makes of answers that no kernel sends: native/undo.c itself, with sockets of ours. Run by undo-answer.test.ts. */
#define main x0undo_main
#include "../../../native/undo.c"
#undef main

enum { SEQ = 77 };

/* An acknowledgement of SEQ, with this errno. */
static size_t ack(uint8_t *into, int error) {
  struct nlmsghdr head = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct nlmsgerr)), .nlmsg_type = NLMSG_ERROR, .nlmsg_seq = SEQ};
  struct nlmsgerr body = {.error = -error};
  memcpy(into, &head, sizeof head);
  memcpy(into + NLMSG_HDRLEN, &body, sizeof body);
  return head.nlmsg_len;
}

/* A message whose aligned length exceeds the datagram, where an older datagram has left what looks like the next one. */
static int aligned_past_the_end(void) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) != 0) return -1;
  _Alignas(struct nlmsghdr) uint8_t first[128] = {0}, second[17] = {0}, third[64];
  *(struct nlmsghdr *)first = (struct nlmsghdr){.nlmsg_len = sizeof first, .nlmsg_type = NLMSG_NOOP};
  ack(first + NLMSG_ALIGN(sizeof second), 0);
  struct nlmsghdr odd = {.nlmsg_len = sizeof second, .nlmsg_type = NLMSG_NOOP};
  memcpy(second, &odd, sizeof odd);
  size_t length = ack(third, EPERM);
  if (send(ends[1], first, sizeof first, 0) < 0 || send(ends[1], second, sizeof second, 0) < 0 ||
      send(ends[1], third, length, 0) < 0)
    return -1;
  char said[64] = "";
  return await_ack(ends[0], SEQ, said, sizeof said) == EPERM;
}

/* An acknowledgement that another process has sent, before the kernel's refusal. */
static int not_the_kernel(void) {
  int ours = socket(AF_NETLINK, SOCK_RAW, NETLINK_USERSOCK), theirs = socket(AF_NETLINK, SOCK_RAW, NETLINK_USERSOCK);
  struct sockaddr_nl self = {.nl_family = AF_NETLINK}, other = {.nl_family = AF_NETLINK};
  socklen_t size = sizeof self;
  if (bind(ours, (struct sockaddr *)&self, sizeof self) != 0 || getsockname(ours, (struct sockaddr *)&self, &size) != 0 ||
      bind(theirs, (struct sockaddr *)&other, sizeof other) != 0)
    return -1;
  _Alignas(struct nlmsghdr) uint8_t forged[64];
  size_t length = ack(forged, 0);
  if (sendto(theirs, forged, length, 0, (struct sockaddr *)&self, sizeof self) < 0) return -1;
  char said[64] = "";
  return await_ack(ours, SEQ, said, sizeof said) == ETIMEDOUT;
}

int main(void) {
  printf("aligned past the end: %d\nnot the kernel: %d\n", aligned_past_the_end(), not_the_kernel());
  return 0;
}
