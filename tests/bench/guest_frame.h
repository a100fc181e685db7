/*
 * guest_frame - the TCP frames that one holder sends and the other checks
 *
 * A frame is as a guest's virtio driver gives it to QEMU: a vnet header that
 * asks for the checksum (VIRTIO_NET_HDR_F_NEEDS_CSUM, the field has the folded
 * sum of the pseudo header), for super-frames also the size of the segments.
 * Its number is in the acknowledgement field, which every segment of a
 * super-frame has, and once more in its last four bytes.
 *
 * What may come out: the frame as it was, or with the checksum complete, or (a
 * super-frame) cut into segments with complete ones. Everything else is wrong.
 */
#ifndef TESTS_BENCH_GUEST_FRAME_H
#define TESTS_BENCH_GUEST_FRAME_H

#include <stddef.h>
#include <stdint.h>

enum guest_kind { GUEST_SMALL, GUEST_MTU, GUEST_GSO, GUEST_KINDS };

struct guest_frame {
	uint32_t len;	   /* with the vnet header */
	uint32_t headers;  /* of it: vnet header to TCP's end */
	uint32_t gso_size; /* 0: no super-frame */
	uint16_t pseudo;   /* the folded pseudo header sum, as in the field */
	uint8_t *bytes;
};

enum guest_verdict {
	GUEST_PARTIAL,	/* as it was sent */
	GUEST_COMPLETE, /* somebody has computed the checksum, rightly */
	GUEST_CUT,	/* a segment of a super-frame, its checksum right */
	GUEST_WRONG,	/* a checksum or a byte is wrong */
	GUEST_STRANGE,	/* another frame than ours */
};

/* "small": 60 bytes; "mtu": 1514; "gso": 64 KB. */
extern const char *const guest_kind_name[GUEST_KINDS];

/* Frame 0 of this kind, between two addresses that end with these bytes. */
void guest_frame_make(struct guest_frame *f, enum guest_kind kind, uint8_t src,
		      uint8_t dst);
void guest_frame_free(struct guest_frame *f);

/* Give it another number. */
void guest_frame_number(struct guest_frame *f, uint32_t number);

/*
 * What to say of `len` bytes that were read from a TAP (vnet header first),
 * where frames like f are expected. *number: which one it was, of all but
 * GUEST_STRANGE; of GUEST_CUT set only with the first segment, else UINT32_MAX.
 */
enum guest_verdict guest_frame_check(const struct guest_frame *f,
				     const uint8_t *bytes, size_t len,
				     uint32_t *number);

#endif
