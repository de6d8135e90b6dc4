module quoll

go 1.26
