# goal = "Everything there is, handed out by a link to a directory."
. ./attack.sh
ln -s / everything
ln -s /etc configuration
mkdir inner && ln -s .. inner/up
ln -s . itself
ln -s loop-b loop-a && ln -s loop-a loop-b
held
