package metrics

import "time"

// ProcessStart is the time at which this process began to run, for process_start_time_seconds.
func ProcessStart() time.Time { return processStart }

// The runtime initializes packages within milliseconds of the start of the process.
var processStart = time.Now()
