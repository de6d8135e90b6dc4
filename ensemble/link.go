package ensemble

// Link is the connection of an observer, as the server sees it that serves it (LearnerHandler.getLearnerHandlerInfo).
type Link struct {
	// Remote is where it comes from, host:port.
	Remote string
	SID    int64
	// Established is when it was made, in milliseconds since 1970.
	Established int64
	// QueuedPackets and QueuedBytes wait to be sent.
	QueuedPackets, QueuedBytes int64
	// Received and Sent are packets since the connection was made or the numbers were reset; Requests are those received that are requests of clients.
	Received, Sent, Requests int64
	// LastZxid is that of the last packet sent which has one, -1 before the first.
	LastZxid int64
}
