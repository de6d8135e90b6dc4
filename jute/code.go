package jute

import "strconv"

// Code is an error code of the protocol (KeeperException.Code). Every Code but [OK] is an error.
type Code int32

// The error codes that a server sends.
const (
	OK                          Code = 0
	ErrSystemError              Code = -1
	ErrRuntimeInconsistency     Code = -2
	ErrDataInconsistency        Code = -3
	ErrConnectionLoss           Code = -4
	ErrMarshalling              Code = -5
	ErrUnimplemented            Code = -6
	ErrOperationTimeout         Code = -7
	ErrBadArguments             Code = -8
	ErrUnknownSession           Code = -12
	ErrNewConfigNoQuorum        Code = -13
	ErrReconfigInProgress       Code = -14
	ErrAPI                      Code = -100
	ErrNoNode                   Code = -101
	ErrNoAuth                   Code = -102
	ErrBadVersion               Code = -103
	ErrNoChildrenForEphemerals  Code = -108
	ErrNodeExists               Code = -110
	ErrNotEmpty                 Code = -111
	ErrSessionExpired           Code = -112
	ErrInvalidCallback          Code = -113
	ErrInvalidACL               Code = -114
	ErrAuthFailed               Code = -115
	ErrSessionMoved             Code = -118
	ErrNotReadOnly              Code = -119
	ErrEphemeralOnLocalSession  Code = -120
	ErrNoWatcher                Code = -121
	ErrRequestTimeout           Code = -122
	ErrReconfigDisabled         Code = -123
	ErrSessionClosedRequireSASL Code = -124
	ErrQuotaExceeded            Code = -125
	ErrThrottledOp              Code = -127
)

// codeTexts has a row for each code: the text of Java's KeeperException.
var codeTexts = map[Code]string{
	OK: "ok", ErrSystemError: "SystemError", ErrRuntimeInconsistency: "RuntimeInconsistency", ErrDataInconsistency: "DataInconsistency",
	ErrConnectionLoss: "ConnectionLoss", ErrMarshalling: "MarshallingError", ErrUnimplemented: "Unimplemented", ErrOperationTimeout: "OperationTimeout",
	ErrBadArguments: "BadArguments", ErrUnknownSession: "Unknown session", ErrNewConfigNoQuorum: "NewConfigNoQuorum",
	ErrReconfigInProgress: "ReconfigInProgress", ErrAPI: "APIError", ErrNoNode: "NoNode", ErrNoAuth: "NoAuth", ErrBadVersion: "BadVersion",
	ErrNoChildrenForEphemerals: "NoChildrenForEphemerals", ErrNodeExists: "NodeExists", ErrNotEmpty: "Directory not empty",
	ErrSessionExpired: "Session expired", ErrInvalidCallback: "Invalid callback", ErrInvalidACL: "InvalidACL", ErrAuthFailed: "AuthFailed",
	ErrSessionMoved: "Session moved", ErrNotReadOnly: "Not a read-only call", ErrEphemeralOnLocalSession: "Ephemeral node on local session",
	ErrNoWatcher: "No such watcher", ErrRequestTimeout: "Request timeout", ErrReconfigDisabled: "Reconfig is disabled",
	ErrSessionClosedRequireSASL: "Session closed because client failed to authenticate", ErrQuotaExceeded: "Quota has exceeded",
	ErrThrottledOp: "Op throttled due to high load",
}

// Text returns the words that Java's KeeperException has for the code.
func (c Code) Text() string {
	if s, ok := codeTexts[c]; ok {
		return s
	}
	return "Unknown error " + strconv.Itoa(int(c))
}

// Error makes every code but OK usable as an error.
func (c Code) Error() string { return "KeeperErrorCode = " + c.Text() }
