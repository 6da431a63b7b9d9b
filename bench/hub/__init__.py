"""The hub beside etcd: thousands of clients in this process, the servers under test in others."""
