module taskpost.dev/program

go 1.21
