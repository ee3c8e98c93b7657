"""`stack.yaml` in, a `Stack` or every one of its errors out; nothing here touches a host."""
