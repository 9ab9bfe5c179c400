// Command fpcheck shows what a client looks like on the wire, and proves
// offline that guise looks like the browsers it is said to be.
//
//	fpcheck                       verify every embedded profile
//	fpcheck verify -p chrome-156  verify one
//	fpcheck serve                 answer any client with what it looks like
//	fpcheck capture, learn        record a browser, make a profile of it
//	fpcheck diff A B              say in sentences how two differ
//	fpcheck show, list, hash, pcap
//
// It exits 0 if all is the same, 1 if something differs, 2 if it could not
// tell, and 130 when it was interrupted.
package main
