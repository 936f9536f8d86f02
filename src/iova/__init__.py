"""The Linux IOVA allocator as a library, and as a lab in which you can ask it questions."""
